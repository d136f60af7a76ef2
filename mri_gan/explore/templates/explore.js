"use strict";
// Draws what the controls say, the newest state first; a picture under way is never waited for twice.
const at = (id) => document.getElementById(id);
const form = at("scene"), picture = at("picture"), problem = at("problem"), told = at("status");
let busy = false, again = false;

const boxes = [...form.querySelectorAll("[data-unknown]")];  // of numbers that may be unknown

const query = () => {
  const fields = new URLSearchParams(new FormData(form));
  for (const box of boxes) { if (box.checked) { fields.set(box.dataset.unknown, "unknown"); } }
  return fields.toString();
};

const words = () => {
  const parts = [];
  for (const field of form.elements) {
    if (!field.name || field.value === "") { continue; }
    if (field.name === "crossover" && !form.elements.detail_seed.value) { continue; }
    if (/^(move|blend)/.test(field.name) && Number(field.value) === 0) { continue; }
    const title = field.labels[0].textContent;
    const value = field.tagName === "SELECT" ? field.selectedOptions[0].text : field.value;
    // A label has the name and letters that the data gave it; only an unknown number is disabled.
    parts.push(`${field.name.startsWith("label") ? title : title.toLowerCase()} ${field.disabled ? "unknown" : value}`);
  }
  return parts.join(", ");
};

const fail = async (answer) => { problem.textContent = await answer.text(); };

const draw = async () => {
  told.textContent = "";
  for (const box of boxes) { at(box.dataset.unknown).disabled = box.checked; }
  for (const number of document.querySelectorAll("[data-of]")) {
    const field = at(number.dataset.of);
    number.textContent = field.disabled ? "-" : Number(Number(field.value).toPrecision(4));
  }
  again = true;
  if (busy) { return; }
  busy = true;
  while (again) {
    again = false;
    const text = words();
    try {
      const answer = await fetch(`picture?${query()}`);
      if (!answer.ok) { await fail(answer); continue; }
      const pixels = new Uint8ClampedArray(await answer.arrayBuffer());
      const across = Number(picture.dataset.across);  // channels beside each other
      picture.height = Math.sqrt(pixels.length / 4 / across);
      picture.width = picture.height * across;
      picture.style.aspectRatio = across;
      picture.getContext("2d").putImageData(new ImageData(pixels, picture.width), 0, 0);
      picture.setAttribute("aria-label", `Synthetic slice: ${text}`);
      at("caption").textContent = text;
      problem.textContent = "";
    } catch {
      problem.textContent = "No answer: is `mrigan explore` still running in the terminal?";
    }
  }
  busy = false;
};

const set = (name, value) => {
  form.elements[name].value = value;
  draw();
};

const show = (saved) => {
  for (const box of boxes) { box.checked = saved.get(box.dataset.unknown) === "unknown"; }
  for (const field of form.elements) {
    const value = saved.get(field.name) ?? "";
    if (field.name && !(field.type === "range" && value === "unknown")) { field.value = value; }
  }
  draw();
  at("seed").focus();
};

const list = (made) => {
  const known = [...at("saved").children].find((item) => item.dataset.file === made.file);
  if (known) { known.remove(); }
  const item = document.createElement("li"), button = document.createElement("button");
  item.dataset.file = made.file;
  button.type = "button";
  button.textContent = "Show again";
  button.setAttribute("aria-label", `Show again: ${made.text}`);
  button.addEventListener("click", () => show(new URLSearchParams(made.query)));
  item.append(`${made.file}: ${made.text} `, button);
  at("saved").prepend(item);
};

const save = async () => {
  const asked = query();
  try {
    const answer = await fetch(`save?${asked}`, { method: "POST" });
    if (!answer.ok) { await fail(answer); return; }
    const made = await answer.json();
    // A picture that was drawn since is another one.
    told.textContent = query() === asked ? `Saved as ${made.file}` : "";
    list(made);
  } catch {
    problem.textContent = "Nothing was saved: is `mrigan explore` still running in the terminal?";
  }
};

form.addEventListener("input", draw);
form.addEventListener("submit", (event) => event.preventDefault());
at("previous").addEventListener("click", () => set("seed", Math.max(0, Number(at("seed").value) - 1)));
at("next").addEventListener("click", () => set("seed", Number(at("seed").value) + 1));
at("random").addEventListener("click", () => set("seed", crypto.getRandomValues(new Uint32Array(1))[0]));
at("save").addEventListener("click", save);
at("still")?.addEventListener("click", () => {
  for (const field of form.querySelectorAll("[name^=move]")) { field.value = 0; }
  draw();
});
for (const made of JSON.parse(at("saved").dataset.saved).reverse()) { list(made); }
draw();
