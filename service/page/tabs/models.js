export const title = "Models"; export function show(panel) { panel.append("to come"); }
