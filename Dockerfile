# The service and nothing else: no embedded servers, no tools to build with, no root.
# It runs with a read-only root file system; only /tmp (a tmpfs) and the spool's volume are written.

FROM python:3.13-slim-trixie AS build
COPY --from=astral/uv:0.13.9 /uv /usr/local/bin/uv
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=/opt/platevault
WORKDIR /src
# The libraries change less often than the code: they are a layer of their own.
COPY pyproject.toml uv.lock ./
RUN --mount=type=cache,target=/root/.cache/uv uv sync --frozen --no-dev --extra server --no-install-project
COPY README.md LICENSE ./
COPY alembic alembic
COPY src src
RUN --mount=type=cache,target=/root/.cache/uv uv sync --frozen --no-dev --extra server --no-editable

FROM python:3.13-slim-trixie
# Numbers, so that an orchestrator can see that it is not root. A fresh named volume takes over the folder's owner.
RUN groupadd --gid 10001 platevault \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/platevault --shell /usr/sbin/nologin platevault \
 && install -d -o 10001 -g 10001 -m 0750 /var/lib/platevault /var/lib/platevault/spool
COPY --from=build /opt/platevault /opt/platevault
ENV PATH=/opt/platevault/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    PORT=8000 \
    SPOOL_DIR=/var/lib/platevault/spool
WORKDIR /var/lib/platevault
USER 10001:10001
EXPOSE 8000
# Not through urllib: it would ask a proxy of the environment for 127.0.0.1.
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=6 \
    CMD ["python", "-I", "-S", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['PORT']), timeout=4); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["platevault"]
CMD ["serve"]
# Last: they change with every build and spoil no layer.
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Platevault" \
      org.opencontainers.image.description="Keeps what license-plate cameras see." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
