/** Draws a layout. Elements that were there before move to their new places. */

import { stateOf } from "./flow.js";
import { nameOf, shortened, use } from "./layout.js";

const SVG = "http://www.w3.org/2000/svg";
const RADIUS = { supernode: 19, node: 14 };

/** Shows `picture` in `svg`. `hues` has the colours of the streams. */
export function draw(svg, picture, hues) {
  svg.setAttribute("viewBox", `0 0 ${picture.width} ${picture.height}`);
  svg.setAttribute("height", picture.height);
  const [links, nodes] = ["links", "nodes"].map((name) => layer(svg, name));
  renew(links, picture.links, (made, link) => drawLink(made, link, hues, picture.upright), "path");
  renew(nodes, picture.nodes, drawNode, "g");
}

function layer(svg, name) {
  return svg.querySelector(`.${name}`) ?? svg.appendChild(make("g", { class: name }));
}

/** Keeps one element for each of `things`, by its id. */
function renew(parent, things, fill, tag) {
  const wanted = new Set(things.map(({ id }) => id));
  const known = new Map([...parent.children].map((child) => [child.dataset.id, child]));
  for (const [id, child] of known) if (!wanted.has(id)) child.remove();
  for (const thing of things) {
    let element = known.get(thing.id);
    if (!element) {
      element = parent.appendChild(make(tag, {}));
      element.dataset.id = thing.id;
    }
    fill(element, thing);
  }
}

function drawLink(path, { kind, slug, from, to, aside, flow }, hues, upright) {
  const hue = slug === null ? null : `hue-${hues.get(slug)}`;
  set(path, { class: ["link", kind, hue, flow].filter(Boolean).join(" "), d: curve(from, to, upright, aside) });
}

/** Returns a line that leaves and arrives in the direction in which distance grows, `aside` pixels away from others. */
function curve(from, to, upright, aside) {
  const half = upright ? (to.y - from.y) / 2 : (to.x - from.x) / 2;
  const bend = half === 0 ? 60 : 0;
  const [a, b] = upright
    ? [[from.x + aside + bend, from.y + half], [to.x + aside + bend, to.y - half]]
    : [[from.x + half + bend, from.y + aside], [to.x - half + bend, to.y + aside]];
  return `M${from.x},${from.y}C${a} ${b} ${to.x},${to.y}`;
}

function drawNode(group, node) {
  const radius = RADIUS[node.role] ?? RADIUS.node;
  const kind = [node.role, node.state, node.flow, node.origin && "origin", node.carries.length === 0 && "bare"].filter(Boolean);
  set(group, { class: `relay ${kind.join(" ")}`, transform: `translate(${node.x},${node.y})` });
  if (!group.firstChild) {
    for (const name of ["ground", "use", "core"]) group.append(make("circle", { class: name }));
    group.append(make("text", { class: "name" }), make("text", { class: "figure" }), make("title", {}));
  }
  const [ground, spent, core, name, figure, title] = group.children;
  const around = 2 * Math.PI * (radius + 4);
  set(ground, { r: radius + 4 });
  set(spent, { r: radius + 4, "stroke-dasharray": `${around * use(node)} ${around}`, transform: "rotate(-90)" });
  set(core, { r: radius - 2 });
  set(name, { y: radius + 22 });
  set(figure, { y: 5 });
  name.textContent = shortened(nameOf(node), node.room);
  figure.textContent = node.viewers || "";
  title.textContent = `${nameOf(node)}, ${node.origin ? "origin, " : ""}${node.role}, ${stateOf(node.state, node.flows)}, ${Math.round(use(node) * 100)} % of its upstream in use`;
}

function make(tag, attributes) {
  return set(document.createElementNS(SVG, tag), attributes);
}

function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}
