# ortbatch with Ray, for head, workers and whoever submits: one image, so that all have the same versions.
#
#   docker build -t registry.example.com/ortbatch:0.1.0 .
#   docker build --build-arg EXTRAS=cluster,torch -t registry.example.com/ortbatch:0.1.0-torch .
#
# Every Python package is the one of constraints.txt, from a wheel: nothing is compiled. The constraints hold on
# Python 3.11. The tag of the base moves with its security fixes; whoever wants the same bytes again gives a digest:
# --build-arg BASE=python:3.11-slim-trixie@sha256:...
ARG BASE=python:3.11-slim-trixie

FROM ${BASE} AS build
ARG EXTRAS=cluster
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY ortbatch ortbatch
RUN python -m venv /opt/ortbatch \
    && /opt/ortbatch/bin/pip install --only-binary=:all: --constraint constraints.txt ".[${EXTRAS}]" \
    && /opt/ortbatch/bin/pip check

FROM ${BASE}
# The head of a cluster that `ray up` made reaches workers by ssh and rsync; KubeRay's probes ask with wget.
# Versions are those of the base's own release, which keeps them: pinned ones would vanish with the next fix.
# hadolint ignore=DL3008,SC2016
RUN apt-get update \
    && apt-get install --yes --no-install-recommends openssh-client rsync wget \
    && rm -rf /var/lib/apt/lists/* \
    # 1000 is the first user of cloud images too: files that are mounted from the host stay readable at mode 0600.
    && useradd --uid 1000 --user-group --create-home --shell /bin/bash ortbatch \
    && install --directory --owner=ortbatch --group=ortbatch --mode=0700 /home/ortbatch/.ray \
    # Debian's login shells set PATH anew, and `ray up` runs its commands in one.
    && echo 'PATH="/opt/ortbatch/bin:$PATH"' > /etc/profile.d/ortbatch.sh
COPY --from=build /opt/ortbatch /opt/ortbatch
# `ray up` reads HOME here. RAY_AUTH_MODE is not set: without a token at hand, not even a Ray of one machine would start.
ENV HOME=/home/ortbatch \
    PATH=/opt/ortbatch/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    RAY_USAGE_STATS_ENABLED=0
USER 1000:1000
WORKDIR /home/ortbatch
CMD ["ortbatch", "--help"]
