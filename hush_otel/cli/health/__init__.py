"""What `hush-otel doctor` looks at, one module a subject. Only a mend changes something, when asked."""
