# rust:<version>-slim-trixie from the host's own toolchain, for machines that cannot pull it.
# The build context is the folder that `rustc --print sysroot` names.
FROM debian:trixie-slim
ENV CARGO_HOME=/usr/local/cargo PATH=/usr/local/cargo/bin:$PATH
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev pkg-config make cmake ca-certificates \
 && rm -rf /var/lib/apt/lists/*
COPY bin/ /usr/local/bin/
COPY lib/ /usr/local/lib/
RUN ldconfig && rustc --version && cargo --version
