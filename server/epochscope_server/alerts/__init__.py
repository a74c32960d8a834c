"""The room that watches trainings while they run: rules, what they find, and the messages that tell of it."""
