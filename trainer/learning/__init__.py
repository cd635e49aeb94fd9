"""One update as pure functions: augmentation, loss, optimizer, step."""
