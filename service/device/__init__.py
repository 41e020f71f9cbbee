"""The process that owns the device: models, scheduler, tasks. It speaks to the api processes in messages only."""
