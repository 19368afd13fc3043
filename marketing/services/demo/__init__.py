"""The demo world: a simulated shop whose true effects are known, written through the services, and its removal."""
