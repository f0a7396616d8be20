"""From a plan to where it runs. Each launcher renders text, which is pure, and starts what it rendered."""
