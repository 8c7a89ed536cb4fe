"""YAML as events with lines, and what its scalars mean: what every reader of files starts from."""
