"""The operator's tool: build, sign, publish, deploy, run and look."""
