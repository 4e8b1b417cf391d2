"""What is served over HTTP: the hub (`hub`) and the shared store's gateway (`gateway`)."""
