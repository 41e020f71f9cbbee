export const title = "Score"; export function show(panel) { panel.append("to come"); }
