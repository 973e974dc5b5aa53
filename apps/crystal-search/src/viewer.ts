import type { Packing } from './cluster.ts';
import { moleculesOf, rigidCrystalOf } from './crystal.ts';
import { elementOf } from './elements.ts';
import type { Molecule } from './molecule.ts';
import { add, apply, centroid, inverse, transpose, type Vector3 } from './vector.ts';

/** What the page needs to draw one crystal: whole molecules in and at the edges of one cell. */
export interface ViewerCrystal {
  title: string;
  lattice: number[][];
  /** Indices into the element table, and three coordinates for each atom. */
  elements: number[];
  positions: number[];
  bonds: number[];
}

/** Molecules whose centre is this far outside the cell are still drawn. */
const EDGE = 0.05;

const fixed = (value: number) => Number(value.toFixed(3));

export function viewerCrystal(packing: Packing, molecule: Molecule): ViewerCrystal {
  const crystal = rigidCrystalOf(packing);
  const body = molecule.atoms.map((atom) => atom.positionAngstrom);
  const columns = transpose(crystal.lattice);
  const rows = inverse(columns);
  const symbols = [...new Set(molecule.atoms.map((atom) => atom.element))];
  const drawn: Vector3[][] = [];
  for (const atoms of moleculesOf(crystal, body)) {
    const centre = apply(rows, centroid(atoms));
    for (const shift of shiftsInto(centre)) {
      const move = apply(columns, shift);
      drawn.push(atoms.map((atom) => add(atom, move)));
    }
  }
  const count = molecule.atoms.length;
  return {
    title: `${packing.rank}: ${packing.symmetrySymbol}, ${packing.energyKjPerMol.toFixed(2)} kJ/mol`,
    lattice: crystal.lattice.map((vector) => vector.map(fixed)),
    elements: drawn.flatMap(() => molecule.atoms.map((atom) => symbols.indexOf(atom.element))),
    positions: drawn.flatMap((atoms) => atoms.flatMap((atom) => atom.map(fixed))),
    bonds: drawn.flatMap((_, index) =>
      molecule.bonds.flatMap(([a, b]) => [index * count + a, index * count + b]),
    ),
  };
}

/** Lattice translations that bring a centre into the cell or to its edge. */
function shiftsInto(centre: Vector3): Vector3[] {
  const along = centre.map((value) => {
    const base = -Math.floor(value);
    return [base - 1, base, base + 1].filter((shift) => {
      const at = value + shift;
      return at > -EDGE && at < 1 + EDGE;
    });
  });
  return along[0]!.flatMap((i) =>
    along[1]!.flatMap((j) => along[2]!.map((k): Vector3 => [i, j, k])),
  );
}

export interface ViewerElement {
  symbol: string;
  colour: string;
  radius: number;
}

export function viewerElements(molecule: Molecule): ViewerElement[] {
  return [...new Set(molecule.atoms.map((atom) => atom.element))].map((symbol) => {
    const { colour, vanDerWaalsRadiusAngstrom } = elementOf(symbol);
    return { symbol, colour, radius: 0.22 * vanDerWaalsRadiusAngstrom };
  });
}

/** The script of the page: draws on a canvas, turns by dragging or arrow keys, zooms by wheel. */
export const VIEWER_SCRIPT = `
(() => {
  const { crystals, elements } = JSON.parse(document.getElementById('crystals').textContent);
  const canvas = document.getElementById('viewer');
  const picker = document.getElementById('pick');
  const context = canvas.getContext('2d');
  let turn = [[0.82, 0, -0.57], [-0.2, 0.94, -0.28], [0.54, 0.35, 0.77]];
  let zoom = 1;
  let shown = 0;
  const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
  const rotate = (v) => turn.map((row) => dot(row, v));
  const by = (m) => {
    const columns = [0, 1, 2].map((k) => turn.map((row) => row[k]));
    turn = m.map((row) => columns.map((column) => dot(row, column)));
  };
  const spin = (dx, dy) => {
    const [c, s, d, t] = [Math.cos(dx), Math.sin(dx), Math.cos(dy), Math.sin(dy)];
    by([[c, 0, s], [0, 1, 0], [-s, 0, c]]);
    by([[1, 0, 0], [0, d, -t], [0, t, d]]);
    draw();
  };
  const cellEdges = (lattice) => {
    const corner = (i, j, k) => [0, 1, 2].map(
      (x) => i * lattice[0][x] + j * lattice[1][x] + k * lattice[2][x]);
    const edges = [];
    for (const [p, q] of [[0, 0], [0, 1], [1, 0], [1, 1]]) {
      edges.push([corner(0, p, q), corner(1, p, q)], [corner(p, 0, q), corner(p, 1, q)],
        [corner(p, q, 0), corner(p, q, 1)]);
    }
    return edges;
  };
  function draw() {
    const crystal = crystals[shown];
    const ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const middle = [0, 1, 2].map((x) => crystal.lattice.reduce((sum, v) => sum + v[x], 0) / 2);
    const size = Math.max(...crystal.lattice.map((v) => Math.hypot(...v)));
    const scale = (zoom * Math.min(width, height)) / (1.7 * size);
    const project = (p) => {
      const [x, y, z] = rotate(p.map((value, k) => value - middle[k]));
      return [width / 2 + scale * x, height / 2 - scale * y, z];
    };
    const items = [];
    const atoms = crystal.elements.map((element, i) => ({
      element: elements[element], at: project(crystal.positions.slice(3 * i, 3 * i + 3)) }));
    for (const { element, at } of atoms) {
      items.push([at[2], () => {
        context.beginPath();
        context.arc(at[0], at[1], Math.max(1, element.radius * scale), 0, 2 * Math.PI);
        context.fillStyle = element.colour;
        context.strokeStyle = '#222';
        context.lineWidth = 0.7;
        context.fill();
        context.stroke();
      }]);
    }
    for (let k = 0; k < crystal.bonds.length; k += 2) {
      const ends = [atoms[crystal.bonds[k]], atoms[crystal.bonds[k + 1]]];
      const half = [0, 1, 2].map((x) => (ends[0].at[x] + ends[1].at[x]) / 2);
      for (const end of ends) {
        items.push([(end.at[2] + half[2]) / 2 - 0.15, () => line(end.at, half, end.element.colour, 0.13 * scale)]);
      }
    }
    for (const [a, b] of cellEdges(crystal.lattice)) {
      const [p, q] = [project(a), project(b)];
      items.push([(p[2] + q[2]) / 2, () => line(p, q, '#999', 1)]);
    }
    items.sort((a, b) => a[0] - b[0]);
    for (const [, paint] of items) paint();
    context.fillStyle = '#222';
    context.font = '13px system-ui, sans-serif';
    context.fillText(crystal.title, 10, 20);
    ['a', 'b', 'c'].forEach((name, k) => {
      const [x, y] = project(crystal.lattice[k]);
      context.fillText(name, x + 4, y - 4);
    });
  }
  function line(p, q, colour, width) {
    context.beginPath();
    context.moveTo(p[0], p[1]);
    context.lineTo(q[0], q[1]);
    context.strokeStyle = colour;
    context.lineWidth = Math.max(0.7, width);
    context.stroke();
  }
  const show = (index) => { shown = index; picker.value = String(index); draw(); };
  crystals.forEach((crystal, index) => picker.add(new Option(crystal.title, String(index))));
  picker.addEventListener('change', () => show(Number(picker.value)));
  document.querySelectorAll('[data-show]').forEach((button) => button.addEventListener(
    'click', () => { show(Number(button.dataset.show)); canvas.scrollIntoView({ block: 'nearest' }); }));
  let last;
  canvas.addEventListener('pointerdown', (event) => {
    last = [event.clientX, event.clientY];
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener('pointermove', (event) => {
    if (!last) return;
    spin((event.clientX - last[0]) / 120, (event.clientY - last[1]) / 120);
    last = [event.clientX, event.clientY];
  });
  canvas.addEventListener('pointerup', () => { last = undefined; });
  canvas.addEventListener('wheel', (event) => {
    event.preventDefault();
    zoom = Math.min(6, Math.max(0.3, zoom * Math.exp(-event.deltaY / 600)));
    draw();
  }, { passive: false });
  canvas.addEventListener('keydown', (event) => {
    const steps = { ArrowLeft: [-0.15, 0], ArrowRight: [0.15, 0], ArrowUp: [0, -0.15], ArrowDown: [0, 0.15] };
    const step = steps[event.key];
    if (step) { event.preventDefault(); spin(...step); }
  });
  window.addEventListener('resize', draw);
  if (crystals.length > 0) show(0);
})();
`;
