"""From turns to prompt ids, and from ids back to words."""
