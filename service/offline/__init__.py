"""Models on files, without a service: `sluice score`, `sample`, `inpaint`, `bench`."""
