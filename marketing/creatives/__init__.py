"""Words that marketers write as templates: Liquid with limits, cleaned HTML, a text part. Pure."""
