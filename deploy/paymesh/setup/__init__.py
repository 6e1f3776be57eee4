"""What `make setup` does once the virtual environment exists: builds the Go programs."""
