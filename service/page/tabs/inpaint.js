export const title = "Inpaint"; export function show(panel) { panel.append("to come"); }
