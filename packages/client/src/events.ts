import type { JobView, TransitionView } from '@majorana/protocol';
import { EventSourceParserStream } from 'eventsource-parser/stream';

export type JobEvent =
  | { readonly kind: 'transition'; readonly id: string; readonly transition: TransitionView }
  | { readonly kind: 'job'; readonly id: string; readonly job: JobView }
  | { readonly kind: 'end'; readonly id: string };

/** The events of a body as they come; kinds that this client does not know are passed over. */
export async function* readJobEvents(
  body: ReadableStream<Uint8Array>,
): AsyncGenerator<JobEvent, void, undefined> {
  const messages = body
    .pipeThrough(new TextDecoderStream())
    .pipeThrough(new EventSourceParserStream());
  for await (const message of messages) {
    const { id = '', event, data } = message;
    if (event === 'transition')
      yield { kind: 'transition', id, transition: JSON.parse(data) as TransitionView };
    else if (event === 'job') yield { kind: 'job', id, job: JSON.parse(data) as JobView };
    else if (event === 'end') yield { kind: 'end', id };
  }
}
