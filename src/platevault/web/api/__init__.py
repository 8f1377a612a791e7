"""The JSON routes, one noun a file."""

from platevault.web.api import collecting, keeping, reading

routers = (*collecting.routers, *reading.routers, *keeping.routers)
