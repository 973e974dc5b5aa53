/** What a task is expected to take of what costs money, wherever it runs. */
export interface TaskDemand {
  /** Cores times hours, above 0. */
  readonly coreHours: number;
  /** Bytes of its inputs and results, which come from the object store and go there. */
  readonly dataBytes: number;
}

/** In any one currency. */
export interface Prices {
  /** Infinite when not known. */
  readonly corePricePerHour: number;
  /** Of a gigabyte that is brought from the object store or to it; 0 beside the store. */
  readonly dataPricePerGb: number;
}

/** As clouds bill it. */
export const GIGABYTE = 1e9;

export const dataCostOf = ({ dataBytes }: TaskDemand, { dataPricePerGb }: Prices): number =>
  (dataBytes / GIGABYTE) * dataPricePerGb;

export const costOf = (demand: TaskDemand, prices: Prices): number =>
  demand.coreHours * prices.corePricePerHour + dataCostOf(demand, prices);

/** Where a task costs less first. Where nothing is known of cores, data alone decides. */
const compareCosts = (demand: TaskDemand, a: Prices, b: Prices): number => {
  const [costA, costB] = [costOf(demand, a), costOf(demand, b)];
  if (costA !== costB) return costA < costB ? -1 : 1;
  return dataCostOf(demand, a) - dataCostOf(demand, b);
};

/**
 * Places in the order in which a task is given to them: where it costs less, else as they came.
 * The order depends on nothing but how much data there is to an hour of work, so tasks that are
 * alike in that share it: 100,000 groups are ranked in a few sorts.
 */
export class CostRanking<Place extends Prices> {
  readonly #places: readonly Place[];
  readonly #ranked = new Map<number, readonly Place[]>();
  readonly #isDataPriced: boolean;

  constructor(places: readonly Place[]) {
    this.#places = places;
    this.#isDataPriced = places.some((one) => one.dataPricePerGb !== places[0]!.dataPricePerGb);
  }

  of(demand: TaskDemand): readonly Place[] {
    const bytesPerCoreHour = this.#isDataPriced ? demand.dataBytes / demand.coreHours : 0;
    const known = this.#ranked.get(bytesPerCoreHour);
    if (known !== undefined) return known;
    const ranked = this.#places.toSorted((a, b) => compareCosts(demand, a, b));
    this.#ranked.set(bytesPerCoreHour, ranked);
    return ranked;
  }
}
