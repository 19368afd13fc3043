"""The portrait: what a person's behaviour says of them. Pure: no Django, no clock, no database."""
