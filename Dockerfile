# docker build --build-arg VERSION=$(git describe --tags --always) \
#   --build-arg COMMIT=$(git rev-parse HEAD) -t docspace-router .

# The build runs on the builder's own platform and cross-compiles: there is no C in it.
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG VERSION=dev
ARG COMMIT=
ARG TARGETOS
ARG TARGETARCH
RUN --mount=type=cache,target=/go/pkg/mod \
    --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -ldflags "-s -w -X main.version=$VERSION -X main.commit=$COMMIT" -o /out/docspace-router ./cmd/docspace-router \
    && mkdir /out/data

# Static: no shell, no package manager; certificates, time zones and a user.
FROM gcr.io/distroless/static-debian12:nonroot
ARG VERSION=dev
LABEL org.opencontainers.image.title="docspace-router" \
      org.opencontainers.image.description="Routes files between ONLYOFFICE DocSpace rooms by rules" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION"
COPY --from=build /out/docspace-router /docspace-router
# A volume takes its owner from the folder it covers, so the folder must be ours first.
COPY --from=build --chown=65532:65532 /out/data /var/lib/docspace-router
ENV ROUTER_RULES=/etc/docspace-router/rules.yaml \
    ROUTER_DATABASE=sqlite:///var/lib/docspace-router/router.db
# By number, so that Kubernetes can tell that it is not root.
USER 65532:65532
VOLUME /var/lib/docspace-router
# The admin listener (127.0.0.1:3001) stays inside the container.
EXPOSE 3000
ENTRYPOINT ["/docspace-router"]
CMD ["serve"]
