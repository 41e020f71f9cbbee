"""What crosses between the api processes and the device process: messages, model facts, kinds of error, clients."""
