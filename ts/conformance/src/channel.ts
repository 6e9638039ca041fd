import { ChannelCredentials } from "@grpc/grpc-js";
import type { CallOptions, Target } from "./echo-client.js";

const GZIP = 2;
const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;

/** How both TypeScript clients set up grpc-js: nothing is retried, and nothing refused for its size. */
export const CHANNEL_OPTIONS = {
  "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
  "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
  "grpc.enable_retries": 0,
  // Two clients in one process would share a connection, and with it its end.
  "grpc.use_local_subchannel_pool": 1,
};

export const COMPRESSING = { "grpc.default_compression_algorithm": GZIP };

export const channelCredentials = ({ tls }: Target): ChannelCredentials =>
  tls === undefined ? ChannelCredentials.createInsecure() : ChannelCredentials.createSsl(tls.ca, tls.key, tls.cert);

/** What a call sends: what the case asks for, and by which server Envoy is to have it answered. */
export function requestMetadata({ service }: Target, { metadata }: CallOptions): [string, string][] {
  const routed: [string, string][] = service === undefined ? [] : [["x-uait-service", service]];
  return [...routed, ...Object.entries(metadata).filter(([, value]) => value !== "")];
}
