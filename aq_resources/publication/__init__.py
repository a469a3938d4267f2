"""What is published: immutable files on the object store, and manifests that name them."""
