"""What the node itself says: kernel features and addresses."""
