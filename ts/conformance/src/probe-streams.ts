import type { StreamsProbe } from "./case-file.js";
import { DEFAULT_TENANT, type ProbeContext } from "./case-runner.js";
import { mismatch } from "./matching.js";

const LIMIT_MS = 60_000;

/** Holds many streams open at once: all have their first answer before any gets a second. */
export async function streamsProbe(probe: StreamsProbe, { client }: ProbeContext): Promise<string | undefined> {
  const options = { metadata: { "x-uait-tenant": DEFAULT_TENANT }, deadlineMs: LIMIT_MS };
  const conversations = Array.from({ length: probe.count }, () => client.converse(options));
  const exchange = (word: string, index: number) =>
    Promise.all(
      conversations.map(async (conversation, at) => {
        const message = `${word} ${at}`;
        conversation.send({ message });
        const answer = await conversation.receive();
        return mismatch(index === 0 ? { message } : { message, index }, answer, `stream ${at}`);
      }),
    );
  const errors = [...(await exchange("first", 0)), ...(await exchange("second", 1))];
  for (const conversation of conversations) conversation.halfClose();
  const results = await Promise.all(conversations.map(({ ended }) => ended));
  const failed = results.find(({ code }) => code !== "OK");
  return (
    errors.find((error) => error !== undefined) ??
    (failed === undefined ? undefined : `code: expected OK, came ${failed.code} (${failed.message})`)
  );
}
