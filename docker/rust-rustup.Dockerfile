# rust:<version>-slim-trixie by rustup, for machines that cannot pull it and have no toolchain of that version.
FROM debian:trixie-slim
ARG RUST_VERSION
ENV CARGO_HOME=/usr/local/cargo RUSTUP_HOME=/usr/local/rustup PATH=/usr/local/cargo/bin:$PATH
RUN --mount=type=secret,id=extra_ca \
    apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev pkg-config make cmake ca-certificates rustup \
 && rm -rf /var/lib/apt/lists/* \
 && if [ -s /run/secrets/extra_ca ]; then export SSL_CERT_FILE=/run/secrets/extra_ca; fi \
 && rustup toolchain install "$RUST_VERSION" --profile minimal --component clippy,rustfmt \
 && rustup default "$RUST_VERSION" && rustc --version
