"""The network: the only folder that imports aiohttp (the practice site's server apart)."""
