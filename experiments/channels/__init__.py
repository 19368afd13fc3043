"""Ways out of the house: webhooks and mail. They send what services made, and decide nothing."""
