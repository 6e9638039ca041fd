import { EventSchema } from "@uait/gen/es/uait/event/v1/event_pb.js";
import { Event } from "@uait/gen/uait/event/v1/event.js";
import { Contract } from "./contract.js";

/** What every stored event is read by. */
export const EVENT = new Contract(EventSchema, Event.decode);
