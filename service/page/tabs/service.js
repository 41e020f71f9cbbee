// Service: requests, latency, queue, batches and alarms, live from /metrics.

import { call, getJson } from "../api.js";
import { app } from "../app.js";
import { lineChart } from "../chart.js";
import { h } from "../dom.js";
import { growth, parse, quantile, total } from "../metrics.js";
import { percent, round, whole } from "../words.js";

export const title = "Service";

const EVERY = 2, KEPT = 90, DRIFT_EVERY = 5;
const COMPUTING = new Set(["/score", "/sample", "/inpaint", "/inpaint/{id}", "/encode", "/decode"]);
const work = ({ route }) => COMPUTING.has(route) || /^\/v2\/models\/.*infer$/.test(route ?? "");
const seconds = (value) => (value < 1 ? `${round(value * 1000)} ms` : `${round(value)} s`);

/** Whether more was flagged than chance would explain of ordinary items: beyond three standard deviations. */
function judged(flagged, promised) {
  if (!promised) return "";
  if (flagged <= promised + 3 * Math.sqrt(promised) + 1) return h("span", { class: "ordinary" }, "● as promised");
  return h("span", { class: "flagged" }, `▲ ${round(flagged / promised, 2)} times the promised`);
}

export function show(panel) {
  const stop = new AbortController(), readings = [];
  const plots = [
    ["Requests a second", (a, b, apart) => growth(a, b, "sluice_requests_total", work) / apart, round],
    ["Latency, median", (a, b) => quantile(a, b, "sluice_request_seconds", 0.5, work), seconds],
    ["Latency, slowest of 20", (a, b) => quantile(a, b, "sluice_request_seconds", 0.95, work), seconds],
    ["Waiting work, item-ticks", (a, b) => total(b, "sluice_queue_item_ticks"), whole],
    ["Rows of a batch, mean", (a, b) => growth(a, b, "sluice_tick_rows_sum") / growth(a, b, "sluice_tick_rows_count"), round],
    ["Item-ticks a second", (a, b, apart) => growth(a, b, "sluice_item_ticks_total") / apart, whole],
  ].map(([caption, value, words]) => ({ value, chart: lineChart(caption, { floor: 0, words, xName: "s" }), points: [] }));
  const facts = h("p", { class: "summary" }), alarms = h("div", { class: "scroll", tabindex: 0 }), drift = h("div", {});
  let reads = 0;
  panel.append(h("p", { class: "hint" }, `Read every ${EVERY} seconds while this tab is open. Requests are those that compute; an empty plot means that there were none.`),
    facts, h("div", { class: "plots" }, plots.map(({ chart }) => chart.element)), h("h2", {}, "Alarms"),
    h("p", { class: "hint" }, "Items scored since the service began. Of ordinary items about the promised share is flagged: the mean of the false-alarm rates that were asked for. Far more means that the items have changed, or that anomalies are being found."), alarms,
    h("h2", {}, "Drift"), h("p", { class: "hint" }, "Whether the items that were scored are still drawn as the calibrating ones were; read every 10 seconds."), drift);

  /** In words, of every model that judged something. */
  async function readDrift(metrics) {
    const judged = new Set((metrics.sluice_promised_alarms_total ?? []).filter(({ value }) => value).map(({ labels }) => labels.model));
    const told = await Promise.all(app.models.filter(({ reference }) => judged.has(reference)).map(({ name }) => getJson(`models/${encodeURIComponent(name)}/drift`, { signal: stop.signal })));
    drift.replaceChildren(...told.map((one) => h("article", { class: "card" }, h("strong", {}, one.model), " ", h("span", { class: one.alarm ? "flagged" : "ordinary" }, one.alarm ? "▲ drifted" : "● no drift proved"),
      h("p", {}, one.summary), one.moved.length ? h("ul", {}, one.moved.map((text) => h("li", {}, text))) : null)));
    if (!told.length) drift.replaceChildren("Nothing has been judged yet.");
  }

  async function read() {
    const metrics = parse(await (await call("GET", "metrics", { signal: stop.signal })).text());
    readings.push({ at: performance.now() / 1000, metrics });
    tell(metrics);
    if (reads++ % DRIFT_EVERY === 0) await readDrift(metrics);
    if (readings.length < 2) return;
    const [before, now] = readings.slice(-2), first = readings[0].at;
    for (const { value, chart, points } of plots) {
      const found = value(before.metrics, now.metrics, now.at - before.at);
      points.push([now.at - first, found ?? NaN]);
      if (points.length > KEPT) points.shift();
      chart.draw(points);
    }
    readings.splice(1, readings.length - 2);
  }

  function tell(metrics) {
    const devices = (metrics.sluice_device_up ?? []).map(({ labels, value }) => `${labels.device} ${value ? "answers" : "is down"}`).join(", ");
    const failed = total(metrics, "sluice_requests_total", (labels) => work(labels) && Number(labels.status) >= 500);
    facts.replaceChildren(`${total(metrics, "sluice_ready") ? "Ready" : "Not ready"} · ${devices} · ${total(metrics, "sluice_models_loaded")} models · ${whole(total(metrics, "sluice_requests_total", work))} requests answered, ${whole(failed)} with a 5xx status`);
    const rows = (metrics.sluice_scored_items_total ?? []).map(({ labels, value }) => {
      const mine = ({ model }) => model === labels.model, flagged = total(metrics, "sluice_anomalous_items_total", mine), promised = total(metrics, "sluice_promised_alarms_total", mine);
      return h("tr", {}, h("th", { scope: "row" }, labels.model), h("td", {}, judged(flagged, promised)), h("td", { class: "figure" }, whole(value)), h("td", { class: "figure" }, whole(flagged)),
        h("td", { class: "figure" }, promised ? percent(flagged / value) : "–"), h("td", { class: "figure" }, promised ? percent(promised / value) : "–"));
    });
    alarms.replaceChildren(rows.length ? h("table", {}, h("thead", {}, h("tr", {}, ["Model", "Alarms", "Scored", "Flagged", "Share flagged", "Promised share"].map((text) => h("th", { scope: "col" }, text)))), h("tbody", {}, rows)) : "Nothing has been scored yet.");
  }

  const again = async () => {
    if (stop.signal.aborted) return;
    if (!document.hidden) await app.attempt(read);
    if (!stop.signal.aborted) timer = setTimeout(again, EVERY * 1000);
  };
  let timer = null;
  again();
  return () => {
    stop.abort();
    clearTimeout(timer);
  };
}
