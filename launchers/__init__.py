"""From a plan to where it runs. Every launcher has four names: `render`, which is pure text, `submit`, `state` and `cancel`."""
