# A static binary and the certificates it trusts, nothing else: no shell, no
# root, under 40 MB. Health checks run the binary itself ('status --live').
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o /out/model-proxy ./cmd/model-proxy \
    && mkdir -p /out/data /out/app /out/tmp && chmod 1777 /out/tmp

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/model-proxy /model-proxy
COPY --from=build --chown=65532:65532 /out/data /data
COPY --from=build --chown=65532:65532 /out/app /app
COPY --from=build /out/tmp /tmp
USER 65532:65532
WORKDIR /app
ENV DATA_DIR=/data
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
ENTRYPOINT ["/model-proxy"]
CMD ["run"]
