"""What connector authors and QA stand on: sandboxes to run, and what goes wrong in them."""
