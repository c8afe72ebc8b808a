"""The `hush-otel` command: `main` holds the group, every other file one subcommand or what they share."""
