"""The calls over HTTP, for programs."""

from lowerbound.extras import needs

for package in ("fastapi", "uvicorn"):
    needs(package, "serve")
