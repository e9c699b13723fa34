# One image for the file server, the devices and the client: they share every dependency.
FROM python:3.11-slim-bookworm

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore

# Dependencies first: a change of our own code does not fetch them again.
WORKDIR /src
COPY constraints.txt pyproject.toml ./
RUN python -c "import tomllib; print('\n'.join(tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies']))" > requirements.txt \
 && pip install -c constraints.txt -r requirements.txt

COPY README.md LICENSE ./
COPY device device
COPY fileserver fileserver
COPY client client
COPY examples examples
COPY benchmarks/kernels benchmarks/kernels
RUN pip install --no-deps . && mkdir /app && mv examples /app/ && rm -rf /src

# The directories exist with the right owner, so that volumes mounted over them inherit it.
RUN useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin microbpf \
 && install -d -o microbpf -g microbpf -m 0755 /srv/microbpf /trusted /state \
 && install -d -o microbpf -g microbpf -m 0700 /operator

WORKDIR /app
USER microbpf

# Slots, sequence number and name of one device: kept over restarts, never shared by replicas.
VOLUME /state

EXPOSE 5683/udp
CMD ["device", "--port", "5683", "--state", "/state", "--keys", "/trusted"]
