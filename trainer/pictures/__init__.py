"""From a folder of the user's own pictures to a published model with verdicts and maps."""
