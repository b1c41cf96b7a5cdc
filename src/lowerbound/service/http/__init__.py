"""The calls over HTTP, for programs."""

from lowerbound.extras import needs

needs("fastapi", "serve")
needs("uvicorn", "serve")
