"""What people see of a database, before it is drawn: the terminal and the page share it."""
