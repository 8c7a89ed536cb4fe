"""The operator's settings: schema, validation, feature gates."""
