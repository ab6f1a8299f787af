"""What connector authors and QA stand on: servers to run, sandboxes, and what goes wrong in them."""
