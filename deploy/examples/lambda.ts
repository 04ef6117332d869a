// A Lambda on a queue of jobs: works on each, and tells its user's page that it is done.
// The event source mapping needs FunctionResponseTypes: [ReportBatchItemFailures].
import { PublishCommand, SNSClient } from "@aws-sdk/client-sns";
import type { SQSBatchResponse, SQSEvent } from "aws-lambda";

type Job = { user: string; job: string };
type Step = { step: number; state: "working" | "done" };

const sns = new SNSClient({});

export async function handler(event: SQSEvent): Promise<SQSBatchResponse> {
  const batchItemFailures: SQSBatchResponse["batchItemFailures"] = [];
  for (const record of event.Records) {
    try {
      const job = JSON.parse(record.body) as Job;
      await tell(job, { step: 1, state: "working" });
      await work(job);
      // The state first, then the event: a page that fetches the state on hearing of it must find it there.
      await save(job, "done");
      await tell(job, { step: 2, state: "done" });
    } catch (error) {
      console.error(`message ${record.messageId} failed`, error);
      batchItemFailures.push({ itemIdentifier: record.messageId });
    }
  }
  return { batchItemFailures };
}

async function tell({ user, job }: Job, { step, state }: Step): Promise<void> {
  await sns.send(
    new PublishCommand({
      TopicArn: process.env.TOPIC_ARN,
      Message: JSON.stringify({ job, step, state }),
      MessageAttributes: {
        user_id: text(user),
        event_type: text(`job.${state}`),
        subject: text(`job/${job}`),
        // One id for each step. A retry sends the same ids, and the page hears of each step once.
        event_id: text(`${job}-${step}`),
      },
    }),
  );
}

const text = (value: string) => ({ DataType: "String", StringValue: value });

async function work(_: Job): Promise<void> {} // your work

async function save(_: Job, state: Step["state"]): Promise<void> {} // your database
