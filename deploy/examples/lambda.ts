// A Lambda on a queue of jobs. It works on each job and tells the page of the job's user about each step.
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
      // Save first, then publish: a page that fetches the state because of the event must find it.
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
        // One id per step: if a retry publishes a step again, the page still gets it once.
        event_id: text(`${job}-${step}`),
      },
    }),
  );
}

const text = (value: string) => ({ DataType: "String", StringValue: value });

async function work(_: Job): Promise<void> {} // your work

async function save(_: Job, state: Step["state"]): Promise<void> {} // your database
