"""A model store on S3 or any other file system of fsspec, behind a local cache that is checked like a local store."""
