export const title = "Service"; export function show(panel) { panel.append("to come"); }
