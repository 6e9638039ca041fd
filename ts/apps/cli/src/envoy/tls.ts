/** PEM files of one side of mutual TLS. */
export interface TlsFiles {
  /** Authority that the other side's certificate comes from. */
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** Transport socket of a listener that lets in nobody without a certificate of the mesh's authority. */
export function downstreamMutualTls(files: TlsFiles): object {
  return {
    name: "envoy.transport_sockets.tls",
    typed_config: {
      "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
      require_client_certificate: true,
      common_tls_context: context(files),
    },
  };
}

/** Transport socket of a cluster: shows the mesh's certificate and accepts only one of the mesh's authority. */
export function upstreamTls(files: TlsFiles): object {
  return {
    name: "envoy.transport_sockets.tls",
    typed_config: {
      "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
      common_tls_context: context(files),
    },
  };
}

/** The edge's certificate as a secret that Envoy reads from a file and watches. */
export function edgeSecret(cert: string, key: string): object {
  return {
    tls_certificate: { certificate_chain: { filename: cert }, private_key: { filename: key } },
  };
}

function context({ ca, cert, key }: TlsFiles): object {
  return {
    alpn_protocols: ["h2"],
    tls_params: { tls_minimum_protocol_version: "TLSv1_2", tls_maximum_protocol_version: "TLSv1_3" },
    tls_certificates: [{ certificate_chain: { filename: cert }, private_key: { filename: key } }],
    validation_context: { trusted_ca: { filename: ca } },
  };
}
